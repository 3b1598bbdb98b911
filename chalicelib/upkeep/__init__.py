"""Work done once a minute: due wakes and probes, poll jobs, alarms, expiring reports."""
