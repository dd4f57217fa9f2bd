"""One request from first byte to done, as decisions: what is sent, retried, resumed, given up. Pure."""
