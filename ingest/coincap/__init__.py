"""CoinCap v3: prices of whole coins by WebSocket, where there is a key."""
