"""The main job: a workflow that analyses the Python standard library installed on this machine.

workflow.py   which tasks there are and how they hang together
source.py     where the modules lie and what is read of them
activities.py light tasks (one module each) and heavy ones (many modules)
twins.py      near-duplicate functions, by shingles and minhash
report.py     the HTML page; timeline.py draws its picture
__main__.py   make demo
"""
