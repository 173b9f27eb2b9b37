"""The page: a market and its pipeline from Cassandra alone, in a browser, live.

rows.py, reader.py       what is read, and the seam behind which it is read
statements.py, history.py  … from Cassandra: the only I/O
buckets.py, candles.py, health.py, formats.py   pure: partitions, averages, latencies, texts
figures/                 from rows to Plotly figures; pure
markup.py, theme.py      HTML of tables and tiles, every text escaped; colours and configuration
feed.py, live.py         what a view looks at, and how it looks again and again
views/                   Market, Symbol, Pipeline
app/, service.py         the script that Streamlit runs, and the process that runs Streamlit
"""
