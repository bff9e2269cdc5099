"""The parts of `isocline bench`: problems, solvers of all libraries, timing, the floor, reports.

A case is one row of `cases.CASES`, a solver one row of `solvers.SOLVERS`; what measures them does
not know which is which. Other libraries are imported where they are used.
"""
