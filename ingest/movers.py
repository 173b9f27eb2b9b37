"""`movers_24h`, ranked in SQL in the transaction of the poll: gainers, losers, most traded.

Who is ranked is explicit: the instrument is TRADING, it was traded in these 24 hours, it turned
over at least the minimum of its quote asset, and its statistics are not older than an hour. A
ranking always has all its places: one that nobody holds has symbol '' and zeros, so that a reader
of the newest snapshot never sees a place of an older one. Gainers and losers are the two ends of
the same list, whatever its signs. Equals are ordered by turnover, then by symbol.
"""

from __future__ import annotations

from typing import Any

from ingest.batch import MoversPoll

RANK = """
INSERT INTO movers_24h (venue, quote_asset, ranking, snapshot_at, rank,
                        symbol, last, price_change_percent, quote_volume)
WITH eligible AS (
    SELECT i.quote_asset, t.symbol, t.last, t.price_change_percent, t.quote_volume
    FROM ticker_24h AS t JOIN instruments AS i USING (venue, symbol)
    WHERE t.venue = %(venue)s
      AND i.quote_asset = ANY (%(quote_assets)s)
      AND i.status = 'TRADING'
      AND t.trade_count > 0
      AND t.quote_volume >= %(min_quote_volume)s
      AND t.as_of > %(snapshot_at)s - interval '1 hour'
), ranked AS (
    SELECT e.*, by.ranking,
           row_number() OVER (PARTITION BY e.quote_asset, by.ranking
                              ORDER BY by.score DESC, e.quote_volume DESC, e.symbol COLLATE "C")
               AS rank
    FROM eligible AS e CROSS JOIN LATERAL (VALUES
        ('gainers', e.price_change_percent),
        ('losers', -e.price_change_percent),
        ('volume', e.quote_volume)
    ) AS by (ranking, score)
)
SELECT %(venue)s, quote_asset, ranking, %(snapshot_at)s, rank,
       coalesce(r.symbol, ''), coalesce(r.last, 0),
       coalesce(r.price_change_percent, 0), coalesce(r.quote_volume, 0)
FROM unnest(%(quote_assets)s) AS quote_asset
CROSS JOIN unnest(ARRAY['gainers', 'losers', 'volume']) AS ranking
CROSS JOIN generate_series(1, %(ranks)s) AS rank
LEFT JOIN ranked AS r USING (quote_asset, ranking, rank)
ORDER BY quote_asset, ranking, rank
ON CONFLICT (venue, quote_asset, ranking, snapshot_at, rank) DO NOTHING
"""


def parameters(poll: MoversPoll) -> dict[str, Any]:
    """Parameters of RANK; the snapshot's time floored to ms, each quote asset once."""
    at = poll.snapshot_at
    return {
        "venue": poll.venue,
        "snapshot_at": at.replace(microsecond=at.microsecond // 1000 * 1000),
        "quote_assets": list(dict.fromkeys(poll.quote_assets)),
        "ranks": poll.ranks,
        "min_quote_volume": poll.min_quote_volume,
    }
