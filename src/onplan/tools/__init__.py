"""Tools: functions described to the model, and the loop that lets the model call them."""
