"""The main job on an emulated AWS account: ``make demo-aws``.

cluster.yaml   the cluster, as it would run on a real account
__main__.py    rehearses it
"""
