"""One link: CQI, MCS and block errors, channel state reports, HARQ and the outer loop."""
