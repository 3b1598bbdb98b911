"""The words of each supported network server: its reports, downlinks and tokens."""
