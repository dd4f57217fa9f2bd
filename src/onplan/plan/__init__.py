"""What the plan has left: asked for, forecast, waited for, and kept within a budget."""
