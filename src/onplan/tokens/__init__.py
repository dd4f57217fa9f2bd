"""Fresh access tokens for the threads and tasks of a process; one refresh across processes and machines."""
