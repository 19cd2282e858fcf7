"""The server: sockets, jobs, worker processes (docs/protocol.md). Knows the pipeline only."""
