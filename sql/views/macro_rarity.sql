-- How much a chance among peers says: 0 from noticed on, 1 from rare down, even in its logarithm between.
create or replace macro rarity(chance, noticed, rare) as
greatest(0, least(1, ln(noticed / chance) / ln(noticed / rare)));
