"""What both sides must agree on, bit for bit: plan, wire, ring, schemes and the secure aggregation protocol.

Pure: no files, no sockets, no clocks, no torch. `load_plan` alone imports Hydra.
"""
