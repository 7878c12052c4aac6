"""Which of DuckDB's functions an analyst may call: what is not listed is refused, in later versions of DuckDB too.

Left out is what shows the process's surroundings, does something, or makes of a short value one of any size: DuckDB
evaluates a function for a whole vector before it looks at time or memory, and such values are outside its limit.
"""

from __future__ import annotations

from typing import Final

_AGGREGATES: Final = """
any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_min arg_min_null argmax
argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star countif covar_pop covar_samp
cume_dist dense_rank entropy favg fill first first_value fsum geomean geometric_mean group_concat grouping grouping_id
histogram histogram_exact kahan_sum kurtosis kurtosis_pop lag last last_value lead list listagg mad max max_by mean
median min min_by mode nth_value ntile percent_rank product quantile quantile_cont quantile_disc rank rank_dense
regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile
row_number sem skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow sumkahan var_pop var_samp variance
wavg weighted_avg
"""
_NUMBERS: Final = """
abs acos acosh add asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees divide equi_width_bins
even exp fdiv floor fmod gcd greatest greatest_common_divisor isfinite isinf isnan lcm least least_common_multiple ln
log log10 log2 mod multiply nextafter pi pow power radians random round round_even roundbankers sign signbit sin sinh
sqrt subtract tan tanh trunc xor
"""
_TEXT: Final = """
array_length ascii chr concat concat_ws contains damerau_levenshtein editdist3 ends_with formatreadablesize
formatreadabledecimalsize format_bytes hamming hash instr jaccard jaro_similarity jaro_winkler_similarity lcase left len
length levenshtein like_escape lower ltrim md5 mismatches not_like_escape ilike_escape not_ilike_escape octet_length
ord parse_filename position prefix regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches
regexp_split_to_array reverse right rtrim sha1 sha256 split split_part starts_with str_split str_split_regex
string_split string_split_regex string_to_array strip_accents strlen strpos substr substring suffix trim ucase unicode
upper char_length character_length decode
"""
_TIMES: Final = """
age ago century current_date current_localtime current_localtimestamp current_timestamp date_add date_diff date_part
date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade
epoch epoch_ms epoch_ns epoch_us era get_current_time get_current_timestamp hour isodow isoyear julian last_day
make_date make_time make_timestamp make_timestamp_ms make_timestamptz microsecond millennium millisecond minute month
monthname nanosecond now quarter second strftime strptime time_bucket timezone timezone_hour timezone_minute
to_centuries to_days to_decades to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters
to_seconds to_timestamp to_weeks to_years today transaction_timestamp try_strptime week weekday weekofyear year yearweek
"""
_NESTED: Final = """
array_contains array_distinct array_extract array_filter array_has array_has_all array_has_any array_indexof
array_intersect array_position array_slice array_sort array_to_json array_transform array_unique array_value
array_append array_prepend array_pop_back array_pop_front array_push_back array_push_front array_reverse cardinality
element_at filter flatten list_append list_any_value list_approx_count_distinct list_apply list_avg list_bit_and
list_bit_or list_bit_xor list_bool_and list_bool_or list_cat list_concat list_contains list_count list_distinct
list_element list_entropy list_extract list_filter list_first list_has list_has_all list_has_any list_histogram
list_indexof list_intersect list_last list_max list_median list_min list_mode list_pack list_position list_prepend
list_product list_reverse list_reverse_sort list_select list_slice list_sort list_stddev_pop list_stddev_samp list_sum
list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip map map_concat map_contains
map_entries map_extract map_extract_value map_from_entries map_keys map_values row struct_contains struct_extract
struct_extract_at struct_has struct_insert struct_keys struct_pack struct_update struct_values unnest
json json_array json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text
json_extract_string json_keys json_object json_quote json_structure json_type json_valid json_value row_to_json to_json
"""
_OTHER: Final = "alias constant_or_null error if ifnull nullif typeof version pg_typeof"

ALLOWED: Final = frozenset(f"{_AGGREGATES} {_NUMBERS} {_TEXT} {_TIMES} {_NESTED} {_OTHER}".split())
# What puts values together: of these a query may name so many operands that none of its values grows without bound.
GROWING: Final = frozenset(
    {"||", "concat", "concat_ws", "list_concat", "list_cat", "list_zip", "map_concat", "struct_insert", "struct_update"}
)
MAX_OPERANDS: Final = 64
MAX_LITERAL_CHARS: Final = 4_096


def allowed(name: str) -> bool:
    """Whether it may be called; operators may, by what their names are made of."""
    return name in ALLOWED or not any(character.isalnum() or character == "_" for character in name)
