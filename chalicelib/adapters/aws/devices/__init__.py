"""Active devices in the table of statistics: a set in a minute's counters, or an hour's sketch for many devices."""
