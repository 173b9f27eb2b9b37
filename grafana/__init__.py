"""The dashboards as code, the alert rules, and the linter of every query in them.

`provisioning/` and `dashboards/*.json` are written from here by `make dashboards`; Grafana reads
those files alone, so that what runs needs nothing of this package.
"""
