-- How different the prompts of a set are: 0 for one prompt again and again, near 0.4 for unrelated ones. An unbiased
-- estimate of the kernel's distance between two of them; null for fewer than two prompts.
create or replace macro distribution_spread(prompt_sum, events) as case
    when events >= 2
        then
            (1 - distribution_likeness(prompt_sum, events, prompt_sum, events)) * events / (events - 1)
end;
