"""What requests and answers are made of, down to their bytes: replies, pages, events, frames, streams."""
