"""UEs that come, move and leave, and handover between cells."""
