-- Schema archive: the message log. Written by archive-svc alone, whose role owns it, since partitions
-- come and go with time. Comes after router's migrations: appends read router.shard.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'starling_archive') THEN
        CREATE ROLE starling_archive LOGIN;
    END IF;
    -- Without superuser rights, only a member may create something in the role's name.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT starling_archive TO %I', current_user);
    END IF;
    -- The service checks at its start that the schema is the one it was built for.
    IF to_regclass('public.starling_migration') IS NOT NULL THEN
        GRANT SELECT ON public.starling_migration TO starling_archive;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA router TO starling_archive;
GRANT SELECT ON router.shard TO starling_archive;

CREATE SCHEMA archive AUTHORIZATION starling_archive;
SET ROLE starling_archive;

-- One stanza for one owner. The id is microseconds since 1970 (made unique per owner by its router);
-- session, counter and part are the origin by which a repeat is recognised.
CREATE TABLE archive.message (
    owner bigint NOT NULL,
    id bigint NOT NULL CHECK (id > 0),
    session uuid NOT NULL,
    counter bigint NOT NULL,
    part int NOT NULL,
    stanza bytea NOT NULL,
    PRIMARY KEY (owner, id)
) PARTITION BY RANGE (id);

-- Everything up to the watermark is delivered; what is cleaned is deleted.
CREATE TABLE archive.cursor (
    owner bigint PRIMARY KEY,
    watermark bigint NOT NULL,
    cleaned bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX cursor_to_clean ON archive.cursor (cleaned) WHERE cleaned < watermark;

-- The last handled input of each session (modulo 2^32).
CREATE TABLE archive.session_input (
    owner bigint NOT NULL,
    session uuid NOT NULL,
    h bigint NOT NULL,
    updated timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, session)
) WITH (fillfactor = 60);

-- ---- partitions: one a week, weeks counted from 1970 (they begin on Thursdays)

CREATE FUNCTION archive.week_us() RETURNS bigint
LANGUAGE sql IMMUTABLE AS 'SELECT 604800000000::bigint';

-- Makes the partition for `p_id`; true if it was missing. Attaching an empty table needs no more than the
-- lock taken here, which lets inserts go on; CREATE TABLE ... PARTITION OF would stop them. An advisory
-- lock would not do: after waiting for it, the catalogue may still look as it did before.
CREATE FUNCTION archive.ensure_partition(p_id bigint) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    lower_id bigint := p_id / archive.week_us() * archive.week_us();
    upper_id bigint := lower_id + archive.week_us();
    name text := 'message_' || to_char(to_timestamp(lower_id / 1e6) AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    IF to_regclass('archive.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE archive.message IN SHARE UPDATE EXCLUSIVE MODE; -- several archive-svc may want it at once
    IF to_regclass('archive.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE archive.%I (LIKE archive.message INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format('ALTER TABLE archive.message ATTACH PARTITION archive.%I FOR VALUES FROM (%s) TO (%s)',
        name, lower_id, upper_id);
    RETURN true;
END
$$;

-- Drops the partitions in which every id is smaller than `p_before`; returns how many. A long reader
-- must not make everybody queue behind this: it gives up and is called again later.
CREATE FUNCTION archive.drop_partitions(p_before bigint) RETURNS int
LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE
    name text;
    dropped int := 0;
BEGIN
    LOCK TABLE archive.message IN SHARE UPDATE EXCLUSIVE MODE;
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'archive.message'::regclass
            AND extract(epoch FROM to_timestamp(substr(c.relname, 9), 'YYYYMMDD') AT TIME ZONE 'UTC')::bigint * 1000000
                + archive.week_us() <= p_before
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE archive.%I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

RESET ROLE;
