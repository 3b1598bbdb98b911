"""Services behind the overview: the summary, the sorted list and the numbers of some connections."""
