-- Sums of prompts' features added up, as an aggregate: of hours, accounts, campaigns; null of none. Beside sum(events).
-- Written out, since a list of lists takes twice the time and several times the memory.
create or replace macro distribution_sum(prompt_sum) as case
    when count(prompt_sum) > 0
        then
            [
                sum(prompt_sum[1])::bigint, sum(prompt_sum[2])::bigint, sum(prompt_sum[3])::bigint,
                sum(prompt_sum[4])::bigint, sum(prompt_sum[5])::bigint, sum(prompt_sum[6])::bigint,
                sum(prompt_sum[7])::bigint, sum(prompt_sum[8])::bigint, sum(prompt_sum[9])::bigint,
                sum(prompt_sum[10])::bigint, sum(prompt_sum[11])::bigint, sum(prompt_sum[12])::bigint,
                sum(prompt_sum[13])::bigint, sum(prompt_sum[14])::bigint, sum(prompt_sum[15])::bigint,
                sum(prompt_sum[16])::bigint, sum(prompt_sum[17])::bigint, sum(prompt_sum[18])::bigint,
                sum(prompt_sum[19])::bigint, sum(prompt_sum[20])::bigint, sum(prompt_sum[21])::bigint,
                sum(prompt_sum[22])::bigint, sum(prompt_sum[23])::bigint, sum(prompt_sum[24])::bigint,
                sum(prompt_sum[25])::bigint, sum(prompt_sum[26])::bigint, sum(prompt_sum[27])::bigint,
                sum(prompt_sum[28])::bigint, sum(prompt_sum[29])::bigint, sum(prompt_sum[30])::bigint,
                sum(prompt_sum[31])::bigint, sum(prompt_sum[32])::bigint, sum(prompt_sum[33])::bigint,
                sum(prompt_sum[34])::bigint, sum(prompt_sum[35])::bigint, sum(prompt_sum[36])::bigint,
                sum(prompt_sum[37])::bigint, sum(prompt_sum[38])::bigint, sum(prompt_sum[39])::bigint,
                sum(prompt_sum[40])::bigint, sum(prompt_sum[41])::bigint, sum(prompt_sum[42])::bigint,
                sum(prompt_sum[43])::bigint, sum(prompt_sum[44])::bigint, sum(prompt_sum[45])::bigint,
                sum(prompt_sum[46])::bigint, sum(prompt_sum[47])::bigint, sum(prompt_sum[48])::bigint,
                sum(prompt_sum[49])::bigint, sum(prompt_sum[50])::bigint, sum(prompt_sum[51])::bigint,
                sum(prompt_sum[52])::bigint, sum(prompt_sum[53])::bigint, sum(prompt_sum[54])::bigint,
                sum(prompt_sum[55])::bigint, sum(prompt_sum[56])::bigint, sum(prompt_sum[57])::bigint,
                sum(prompt_sum[58])::bigint, sum(prompt_sum[59])::bigint, sum(prompt_sum[60])::bigint,
                sum(prompt_sum[61])::bigint, sum(prompt_sum[62])::bigint, sum(prompt_sum[63])::bigint,
                sum(prompt_sum[64])::bigint
            ]
end;
