-- How a crowd's ages compare and what its members share with nobody else, in sentences that follow another: shares
-- of its customers; nothing where nothing is known.
create or replace macro crowd_story(young_share, young_days, base_young, client, payment, email, network) as
coalesce(
    format(
        ' {:.0f} % of them were younger than {:.0f} days, of the other accounts {:.0f} %.',
        100 * young_share,
        young_days,
        100 * base_young
    ),
    ''
)
|| coalesce(
    ' They share with each other and hardly anybody else: ' || nullif(
        concat_ws(
            ', ',
            if(client > 0, format('a client ({:.0f} %)', 100 * client), null),
            if(payment > 0, format('payments ({:.0f} %)', 100 * payment), null),
            if(email > 0, format('mail domains ({:.0f} %)', 100 * email), null),
            if(network > 0, format('networks ({:.0f} %)', 100 * network), null)
        ),
        ''
    ) || '.',
    ''
);
