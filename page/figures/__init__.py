"""From rows to Plotly figures. Pure: no I/O, and the same rows make the same figure."""
