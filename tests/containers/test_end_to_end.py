"""The end-to-end test of the local stack, word for word, on the containers."""

from __future__ import annotations

from tests.integration.test_end_to_end import (  # noqa: F401 - what pytest collects here
    cql,
    exchange,
    test_backfilled_candles_are_the_exchanges,
    test_every_trade_between_first_and_last_is_the_exchanges,
    test_polled_books_arrive_level_for_level,
    test_polled_candles_are_closed_as_the_exchange_closed_them,
    test_polled_prices_of_every_symbol_arrive,
    test_polled_statistics_arrive_value_for_value,
    test_top_gainers_follow_from_the_statistics,
)
