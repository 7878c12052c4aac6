"""Words that prompts are built from when no prompt files are given: patterns with slots, in several languages."""

from __future__ import annotations

from typing import Final

SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "topic": (
        "tide pools", "sourdough", "rent contracts", "solar panels", "chess openings", "medieval guilds", "bee keeping",
        "tax deadlines", "marathon training", "tomato blight", "glacier melt", "violin strings", "map projections",
        "night trains", "water rights", "paper marbling", "vaccine storage", "wind turbines", "radio telescopes",
        "cheese ripening", "school timetables", "fountain pens", "city birds", "salt marshes", "roof insulation",
        "loan interest", "volcanic soil", "sign language", "bicycle brakes", "coral bleaching", "public libraries",
    ),
    "person": (
        "my landlord", "a new colleague", "my grandmother", "the school board", "a customer", "our supplier",
        "my neighbour", "the committee", "a beginner", "my daughter", "the insurance company", "a journalist",
    ),
    "style": (
        "politely", "in two paragraphs", "as a short list", "with one example", "without jargon", "in plain words",
        "with a little humour", "formally", "as a table", "in under a hundred words", "for a blog", "for a talk",
    ),
    "thing": (
        "parser", "cache", "queue", "scheduler", "date picker", "CSV importer", "retry loop", "rate limiter",
        "search index", "login form", "migration", "test fixture", "log filter", "config loader", "image resizer",
    ),
    "language": ("Python", "Go", "Rust", "TypeScript", "Java", "C#", "SQL", "Kotlin", "Ruby", "C++"),
    "symptom": (
        "returns stale rows", "leaks a file handle", "fails on empty input", "is slow on large files",
        "drops the last element", "deadlocks under load", "ignores the time zone", "crashes on unicode names",
    ),
    "name": ("Ada", "Bruno", "Chidi", "Dana", "Emeka", "Farah", "Goran", "Hana", "Ivan", "Jun", "Kofi", "Lena", "Mei"),
    "ware": ("pencils", "apples", "tickets", "lamps", "bricks", "cups", "letters", "stamps", "bolts", "loaves"),
    "n": tuple(str(n) for n in (3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 18, 24, 27, 30, 36, 42, 48, 60, 75, 96, 120, 144)),
}  # fmt: skip

PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        "How do {topic} work? Explain it {style} to {person}.",
        "I need to write to {person} about {topic}. Draft it {style}.",
        "Compare {topic} with {topic}; I am deciding which to read about next.",
        "What went wrong when people first tried {topic}?",
        "Give me {n} ideas for a workshop on {topic}, {style}.",
        "Can you check my reasoning on {topic}? I think {person} would disagree.",
        "Summarise what {person} should know about {topic}, {style}.",
        "Why is everybody talking about {topic} lately?",
        "Tell me a story in which {name} learns about {topic} from {person}.",
        "Plan {n} days of learning about {topic} for {name}.",
    ),
    "es": (
        "¿Cómo le explico a {name} el tema de {topic} en pocas palabras?",
        "Escribe una carta para {name} sobre {topic}, por favor.",
        "Dame {n} razones para aprender más de {topic}.",
        "¿Qué diferencia hay entre {topic} y {topic} para una persona que empieza?",
    ),
    "de": (
        "Wie erkläre ich {name} das Thema {topic}, ohne dass es langweilig wird?",
        "Schreibe bitte einen kurzen Brief an {name} über {topic}.",
        "Nenne mir {n} Gründe, warum {topic} für die Schule wichtig ist.",
        "Was ist der Unterschied zwischen {topic} und {topic}?",
    ),
    "fr": (
        "Comment expliquer {topic} à {name} en quelques phrases ?",
        "Rédige une lettre pour {name} au sujet de {topic}, s'il te plaît.",
        "Donne-moi {n} exemples qui montrent pourquoi {topic} est utile.",
        "Quelle est la différence entre {topic} et {topic} pour un débutant ?",
    ),
    "zh": (
        "请用简单的语言解释{topic}，给{name}看。",  # noqa: RUF001
        "写一封给{name}的信，谈谈{topic}。",  # noqa: RUF001
        "列出学习{topic}的{n}个理由。",
    ),
    "ru": (
        "Объясни {name}, как устроены {topic}.",
        "Напиши письмо для {name} о том, что такое {topic}.",  # noqa: RUF001
        "Назови {n} причин изучать {topic}.",
    ),
    "ar": (
        "اشرح {topic} بطريقة بسيطة إلى {name}.",
        "اكتب رسالة إلى {name} عن {topic}.",
        "اذكر {n} أسباب لدراسة {topic}.",
    ),
    "code": (
        "The {thing} in our {language} service {symptom}. Here is the stack trace, what should I change?",
        "Write a {thing} in {language} that {person} can maintain.",
        "Refactor this {language} {thing} so that it no longer {symptom}.",
        "Review my {thing}: it {symptom} when {name} runs it with {n} threads.",
        "Port the {thing} from {language} to {language}, keep the tests.",
        "Add {n} unit tests for the {thing}; it {symptom}.",
    ),
    "math": (
        "{name} buys {n} {ware} and gives {n} to {name}, who has {n} already. How many {ware} are left in total?",
        "A box holds {n} {ware}. {name} fills {n} boxes and sells a third. How many {ware} remain?",
        "{name} saves {n} coins a week for {n} weeks, then spends {n}. How much is left?",
        "If {n} workers pack {n} {ware} in {n} minutes, how long do {n} workers need for {n} {ware}?",
    ),
    "document": (
        "Notes on {topic} for {person}: the first part covers {topic}, the rest {topic}. {name} asked for {n} changes.",
        "Minutes: {name} reported on {topic}. {name} will write to {person} about {topic} within {n} days.",
        "Chapter {n}. Of {topic} and {topic}, as {name} told {person}, {style}.",
        "Ticket {n}: {person} says the {thing} {symptom}; {name} could not reproduce it with {language}.",
    ),
}  # fmt: skip
