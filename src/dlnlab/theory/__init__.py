"""What theory says: predictions of measured quantities, and topics that answer one question.

Theory is mathematics in NumPy and SciPy, float64, on the host; it never runs a dynamics, so that
its agreement with a simulation is evidence. `dlnlab.theory.catalogue` lists all of it.
"""
