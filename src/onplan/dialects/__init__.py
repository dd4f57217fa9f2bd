"""What other people's APIs say: requests that their clients send, and the answers that these read. Pure."""
