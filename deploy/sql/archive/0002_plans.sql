-- How the statements of archive-svc are planned: once, and by the primary keys.
--
-- Left alone, PostgreSQL plans each append anew, because it thinks it can guess better from the length of
-- the arrays; and a plan made while a week's partition was empty reads the whole partition in sequence,
-- until statistics are gathered for the first time, however large it has become by then.
ALTER ROLE starling_archive SET plan_cache_mode = 'force_generic_plan';
ALTER ROLE starling_archive SET enable_seqscan = off;
