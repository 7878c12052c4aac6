-- How many distinct values a sketch stands for: exact below 32, else within some 18 %.
create or replace macro sketch_distinct(sketch) as case
    when len(sketch) < 32 then len(sketch)::double
    else 31 / (list_max(sketch)::double / 18446744073709551615)
end;
