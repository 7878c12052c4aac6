-- The wider network that a /24, /48 or AS belongs to: two octets, 32 bits, the AS. A campus or a hall has several /24s.
create or replace macro network_place(network) as
coalesce(nullif(regexp_extract(network, '^(\d+\.\d+|[0-9a-f]+:[0-9a-f]*)', 1), ''), network);
