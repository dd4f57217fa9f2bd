"""Fresh tokens: handed out to every thread and task, refreshed once among processes and machines."""
