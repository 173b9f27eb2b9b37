"""Binance spot over REST: messages, client, weight limits."""
