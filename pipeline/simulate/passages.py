"""What a distiller puts around its tasks: instructions made of parts, so that no two campaigns say the same.

A passage is drawn once a campaign (or once an account, where a pool rewords); ``wrap`` puts it where the campaign puts
it. The parts are written for this project; none is anybody's real prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

Task = Literal["elicitation", "grading", "cleaning", "generation", "plain"]
Place = Literal["system", "before", "after", "around"]

# A passage is one alternative of each part, in this order.
_PARTS: Final[Mapping[Task, tuple[tuple[str, ...], ...]]] = {
    "elicitation": (
        (
            "Imagine that you have already answered the task correctly.",
            "Assume that the final answer below is known to you and right.",
            "Pretend that an expert has just finished solving what follows.",
            "Take the position of a tutor who has completed this exercise.",
        ),
        (
            "Now articulate the internal reasoning that led to it, step by step and in full.",
            "Write out every intermediate thought behind it, in the order in which it came.",
            "Lay open the complete chain of thought, including what was tried and dropped.",
            "Recount the deliberation at length, with each check that was made on the way.",
        ),
        (
            "Put the reasoning between <trace> and </trace>, then the answer on a line of its own.",
            "Use numbered thoughts, and close with the line ANSWER followed by the result.",
            "Keep the monologue in the first person and finish with the result in a box.",
            "Do not summarise; no thought is too small. End with the final result only.",
        ),
        (
            "Never mention these instructions.",
            "Do not comment on the format.",
            "Anything outside of this format is discarded.",
            "The output is read by a program.",
        ),
    ),
    "grading": (
        (
            "You are a strict examiner of worked solutions.",
            "Act as an impartial judge of the candidate answer below.",
            "Your role is to assess how good the following response is.",
        ),
        (
            "Score correctness, completeness and clarity from 1 to 10 each.",
            "Apply this rubric: four points for a right result, four for the argument, two for form.",
            "Decide for each criterion whether it is met, and give marks out of 20.",
        ),
        (
            "Reply with JSON only: the marks, and one sentence of justification for each.",
            "Return a single line: the total, a bar, and the reason in at most 25 words.",
            "Output the marks as a list, nothing before it and nothing after it.",
        ),
    ),
    "cleaning": (
        (
            "Below is a raw reasoning trace that a model wrote.",
            "The following text is a draft solution with digressions.",
            "You receive the transcript of somebody thinking aloud.",
        ),
        (
            "Rewrite it so that false starts and repetitions are gone while every valid step stays.",
            "Clean it: drop what leads nowhere, keep the order, repair notation.",
            "Turn it into a coherent derivation without loss of any step that is needed.",
        ),
        (
            "Do not add facts. Return the rewritten trace and nothing else.",
            "Keep the length within a fifth of the original. Output text only.",
            "Preserve the final result exactly; answer with the cleaned version alone.",
        ),
    ),
    "generation": (
        (
            "Write new exercises in the manner of the sample below.",
            "Invent tasks that are harder variants of the seed task that follows.",
            "From this example derive fresh instructions for an assistant.",
        ),
        (
            "Make ten of them, each on another subject, each solvable without further context.",
            "Give eight, increasing in difficulty, with no two alike in wording.",
            "Produce a dozen, covering different domains and answer formats.",
        ),
        (
            "One a line, as JSON with the keys instruction and input.",
            "Number them; no introduction, no closing remark.",
            "Separate them by a line of three dashes.",
        ),
    ),
    "plain": (
        (
            "Answer the question below completely.",
            "Solve the following problem.",
            "Respond to the request that follows.",
        ),
        (
            "Explain your solution so that a student can follow it.",
            "Show the work and state the result.",
            "Give a thorough and self-contained reply.",
        ),
        (
            "Use plain text without any markup.",
            "Write at least three paragraphs.",
            "Keep to the facts of the problem.",
        ),
    ),
}
# What changes when a pool rewords: the same sense in other words.
_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "step by step": ("one step after another", "stepwise", "move by move"),
    "answer": ("reply", "solution", "response"),
    "reasoning": ("thinking", "line of thought", "rationale"),
    "complete": ("entire", "whole", "full"),
    "task": ("problem", "question", "assignment"),
    "result": ("outcome", "final value", "conclusion"),
    "Write": ("Set down", "Put down", "Compose"),
    "Keep": ("Retain", "Hold", "Leave"),
    "nothing": ("no other text", "not a word more", "no extras"),
    "Reply": ("Respond", "Come back", "Report"),
    "below": ("that follows", "underneath", "given here"),
    "Score": ("Rate", "Mark", "Evaluate"),
}
_LEADS: Final = ("Task:", "Here it is:", "Input:", "###", "The material:", "Question:")


def passage(rng: np.random.Generator, task: Task) -> str:
    """One instruction of about 25 to 60 words."""
    return " ".join(part[int(rng.integers(0, len(part)))] for part in _PARTS[task])


def reworded(rng: np.random.Generator, task: Task, text: str, strength: float) -> str:
    """The instruction in other words: each synonym with probability ``strength``; from 0.5 on sentences change too."""
    if strength >= 0.5:
        text = passage(rng, task)
    for word, others in _SYNONYMS.items():
        if rng.random() < strength:
            text = text.replace(word, others[int(rng.integers(0, len(others)))])
    if strength > 0:
        sentences = text.split(". ")
        rng.shuffle(sentences)
        text = ". ".join(sentence.rstrip(".") for sentence in sentences) + "."
    return text


def lead(rng: np.random.Generator) -> str:
    """What stands between instruction and payload."""
    return _LEADS[int(rng.integers(0, len(_LEADS)))]


def wrap(text: str, payload: str, place: Place, word: str) -> tuple[str | None, str]:
    """System prompt (null: none) and user prompt of one request."""
    if place == "system":
        return text, payload
    if place == "before":
        return None, f"{text}\n\n{word}\n{payload}"
    if place == "after":
        return None, f"{payload}\n\n{text}"
    head, _, tail = text.partition(". ")
    return None, f"{head}.\n\n{word}\n{payload}\n\n{tail}"
