-- Run once, by the image's own entrypoint, on an empty data directory: roles with their passwords
-- from secret files, and the database. The list is that of stack/files.py (a test compares them).
\set owner `cat /run/secrets/tidemark_owner.password`
\set ingest `cat /run/secrets/tidemark_ingest.password`
\set cdc `cat /run/secrets/tidemark_cdc.password`
\set repair `cat /run/secrets/tidemark_repair.password`
\set watch `cat /run/secrets/tidemark_watch.password`
\set reader `cat /run/secrets/tidemark_reader.password`
CREATE ROLE tidemark_owner LOGIN PASSWORD :'owner';
CREATE ROLE tidemark_ingest LOGIN PASSWORD :'ingest';
CREATE ROLE tidemark_cdc LOGIN REPLICATION PASSWORD :'cdc';
CREATE ROLE tidemark_repair LOGIN PASSWORD :'repair';
CREATE ROLE tidemark_watch LOGIN PASSWORD :'watch';
CREATE ROLE tidemark_reader LOGIN PASSWORD :'reader';
CREATE DATABASE tidemark OWNER tidemark_owner;
