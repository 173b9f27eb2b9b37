"""The exchanges, simulated: real HTTP and WebSocket on loopback, with scripted faults."""
