"""The decisions of a turn: what is sent, when it is sent again, resumed or given up. No I/O."""
