"""Other people's libraries on your plan. Each module needs its library, and is imported by its own name."""
