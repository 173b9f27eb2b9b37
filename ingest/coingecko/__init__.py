"""CoinGecko: what coins are worth on all their markets together, ten in one call."""
