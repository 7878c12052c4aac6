-- The sum of sums of prompts' features, of a list of them: distribution_merge(list(prompt_sum)).
create or replace macro distribution_merge(prompt_sums) as case
    when len(prompt_sums) < 2 then prompt_sums[1]
    else list_transform(
        range(1, 65),
        lambda place: list_sum(list_transform(prompt_sums, lambda one: one[place]))::bigint
    )
end;
