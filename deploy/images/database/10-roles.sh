#!/bin/sh
# Runs once, in a new database: makes the schema's owner, who is no superuser. That role makes the
# loader's and the reader's when it migrates.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv password AIRQ_OWNER_PASSWORD
CREATE ROLE airq_owner LOGIN CREATEROLE PASSWORD :'password';
ALTER DATABASE :"DBNAME" OWNER TO airq_owner;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL
