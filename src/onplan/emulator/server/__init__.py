"""The running emulator: starting and stopping, routes, HTTP and WebSocket connections."""
