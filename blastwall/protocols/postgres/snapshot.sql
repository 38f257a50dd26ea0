-- What snapshot.py asks of PostgreSQL 13 to 18. Any role may read these tables, and nothing is written.
--
-- A section begins with a line "--- name". Each is one query with one row of one text column. Every function, type, table
-- and operator is qualified: the search path may be the agent's. Oids below 16384 were made by initdb: the system_
-- sections hold those and stay as they are while the server's version does. Other sessions' temporary objects are left
-- out; one's own are in schema "pg_temp".

--- server
SELECT pg_catalog.json_build_object(
    'server_version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
    'database', pg_catalog.current_database(),
    'search_path', pg_catalog.to_json(pg_catalog.current_schemas(false))
)::pg_catalog.text

--- system_relations
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    c.oid::pg_catalog.int8, n.nspname, c.relname, c.relkind, c.relpersistence, '',
    (SELECT COALESCE(pg_catalog.json_agg(
            pg_catalog.json_build_array(a.attnum, a.attname, a.atttypid::pg_catalog.int8, a.attnotnull)
            ORDER BY a.attnum), '[]')
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped),
    pg_catalog.json_build_array(), pg_catalog.json_build_array()
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid
  AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,S,c}'::pg_catalog."char"[])
  AND n.nspname OPERATOR(pg_catalog.<>) 'pg_toast'::pg_catalog.name

--- relations
WITH busy AS MATERIALIZED (
    SELECT l.relation
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) l.database
    WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
      AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock' AND l.relation IS NOT NULL
      AND COALESCE(l.pid, 0) OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
)
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    c.oid::pg_catalog.int8,
    CASE WHEN n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname END,
    c.relname, c.relkind, c.relpersistence,
    pg_catalog.concat(
        CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_rewrite r
            WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.ev_type OPERATOR(pg_catalog.<>) '1') THEN 'r' END,
        CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_trigger t
            WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal) THEN 't' END,
        CASE WHEN c.relrowsecurity THEN 's' END),
    -- A column that is more than its name and type has a longer row.
    (SELECT COALESCE(pg_catalog.json_agg(
            CASE WHEN a.atttypmod OPERATOR(pg_catalog.=) -1 AND a.attgenerated OPERATOR(pg_catalog.=) ''
                AND d.description IS NULL AND l.labels IS NULL AND k.oid IS NULL
            THEN pg_catalog.json_build_array(a.attnum, a.attname, a.atttypid::pg_catalog.int8, a.attnotnull)
            ELSE pg_catalog.json_build_array(a.attnum, a.attname, a.atttypid::pg_catalog.int8, a.attnotnull, a.atttypmod,
                CASE WHEN a.atttypmod OPERATOR(pg_catalog.=) -1 THEN ''
                    ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END,
                COALESCE(d.description, ''), COALESCE(l.labels, '[]'),
                CASE WHEN k.oid IS NULL THEN '' ELSE pg_catalog.concat(
                    pg_catalog.quote_ident(kn.nspname), '.', pg_catalog.quote_ident(k.collname)) END,
                -- What a generated column is computed from hangs on its expression, or (before 15) on the column itself.
                (SELECT COALESCE(pg_catalog.json_agg(DISTINCT g.refobjsubid), '[]')
                    FROM pg_catalog.pg_depend g
                    LEFT JOIN pg_catalog.pg_attrdef e ON e.adrelid OPERATOR(pg_catalog.=) a.attrelid
                        AND e.adnum OPERATOR(pg_catalog.=) a.attnum
                    WHERE a.attgenerated OPERATOR(pg_catalog.<>) ''
                      AND g.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                      AND g.refobjid OPERATOR(pg_catalog.=) a.attrelid
                      AND g.refobjsubid OPERATOR(pg_catalog.<>) a.attnum
                      AND (g.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                           AND g.objid OPERATOR(pg_catalog.=) e.oid
                        OR g.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                           AND g.objid OPERATOR(pg_catalog.=) a.attrelid
                           AND g.objsubid OPERATOR(pg_catalog.=) a.attnum)))
            END ORDER BY a.attnum), '[]')
        FROM pg_catalog.pg_attribute a
        LEFT JOIN pg_catalog.pg_description d ON d.objoid OPERATOR(pg_catalog.=) a.attrelid
            AND d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.objsubid OPERATOR(pg_catalog.=) a.attnum
        LEFT JOIN LATERAL (
            SELECT pg_catalog.json_agg(pg_catalog.concat(b.provider, ':', b.label) ORDER BY b.provider) AS labels
            FROM pg_catalog.pg_seclabel b
            WHERE b.objoid OPERATOR(pg_catalog.=) a.attrelid
              AND b.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
              AND b.objsubid OPERATOR(pg_catalog.=) a.attnum
        ) AS l ON true
        LEFT JOIN pg_catalog.pg_collation k ON k.oid OPERATOR(pg_catalog.=) a.attcollation
            AND k.collname OPERATOR(pg_catalog.<>) 'default'
        LEFT JOIN pg_catalog.pg_namespace kn ON kn.oid OPERATOR(pg_catalog.=) k.collnamespace
        WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
          AND c.relkind OPERATOR(pg_catalog.<>) ALL ('{i,I}'::pg_catalog."char"[])),
    -- The server records what a view depends on, except on its own pinned tables: those are in the rule's tree, where
    -- names and constants cannot look like a field (blanks in them are escaped).
    (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(p.relation, p.number)
            ORDER BY p.relation, p.number), '[]')
        FROM (
            SELECT d.refobjid::pg_catalog.int8 AS relation, d.refobjsubid AS number
            FROM pg_catalog.pg_rewrite r
            JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) r.oid
            WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.ev_type OPERATOR(pg_catalog.=) '1'
              AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
              AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.refobjid OPERATOR(pg_catalog.<>) c.oid
            UNION
            SELECT m.found[1]::pg_catalog.int8, 0
            FROM pg_catalog.pg_rewrite r
            CROSS JOIN LATERAL pg_catalog.regexp_matches(
                r.ev_action::pg_catalog.text, ' :relid ([0-9]+)', 'g') AS m (found)
            WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.ev_type OPERATOR(pg_catalog.=) '1'
              AND m.found[1]::pg_catalog.int8 OPERATOR(pg_catalog.<) 16384
        ) AS p),
    (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(k.schema, k.name)
            ORDER BY k.schema, k.name), '[]')
        FROM (
            SELECT DISTINCT pn.nspname AS schema, p.proname AS name
            FROM pg_catalog.pg_rewrite r
            CROSS JOIN LATERAL pg_catalog.regexp_matches(
                r.ev_action::pg_catalog.text, ' :(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') AS m (found)
            JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) m.found[1]::pg_catalog.oid
            JOIN pg_catalog.pg_namespace pn ON pn.oid OPERATOR(pg_catalog.=) p.pronamespace
            WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.ev_type OPERATOR(pg_catalog.=) '1'
        ) AS k),
    (SELECT COALESCE(pg_catalog.json_agg(u.number ORDER BY u.place), '[]')
        FROM pg_catalog.pg_index i
        CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(i.indkey::pg_catalog.int2[]))
            WITH ORDINALITY AS u (number, place)
        WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisprimary AND i.indimmediate AND i.indisvalid
          AND u.place OPERATOR(pg_catalog.<=) i.indnkeyatts),
    -- Also what expressions and conditions of an index read: a conflict tells of it too.
    (SELECT COALESCE(pg_catalog.json_agg(w.numbers), '[]')
        FROM (
            SELECT DISTINCT pg_catalog.array_agg(DISTINCT u.number ORDER BY u.number) AS numbers
            FROM pg_catalog.pg_index i
            CROSS JOIN LATERAL (
                SELECT p.number::pg_catalog.int4
                FROM ROWS FROM (pg_catalog.unnest(i.indkey::pg_catalog.int2[])) WITH ORDINALITY AS p (number, place)
                WHERE p.place OPERATOR(pg_catalog.<=) i.indnkeyatts AND p.number OPERATOR(pg_catalog.<>) 0
                UNION
                SELECT d.refobjsubid
                FROM pg_catalog.pg_depend d
                WHERE (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
                  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.objid OPERATOR(pg_catalog.=) i.indexrelid
                  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.refobjid OPERATOR(pg_catalog.=) i.indrelid
            ) AS u (number)
            WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND (i.indisunique OR i.indisexclusion)
            GROUP BY i.indexrelid
            ORDER BY 1
        ) AS w),
    (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
            f.conkey, f.confrelid::pg_catalog.int8, f.confkey) ORDER BY f.oid), '[]')
        FROM pg_catalog.pg_constraint f
        WHERE f.conrelid OPERATOR(pg_catalog.=) c.oid AND f.contype OPERATOR(pg_catalog.=) 'f'),
    -- Printing a view's query locks what it reads, and would wait for whoever rewrites a table just now: such a view has
    -- no query for the moment, and nobody can follow it.
    CASE WHEN c.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}'::pg_catalog."char"[]) AND NOT EXISTS (
            SELECT FROM busy b
            WHERE b.relation OPERATOR(pg_catalog.=) c.oid
               OR b.relation OPERATOR(pg_catalog.=) ANY (
                    SELECT d.refobjid
                    FROM pg_catalog.pg_rewrite r
                    JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) r.oid
                    WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid
                      AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
                      AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass))
        THEN COALESCE(pg_catalog.pg_get_viewdef(c.oid), '') ELSE '' END,
    -- What holds for every row. Printing it locks as well; what makes a partition also all that it is a part of.
    CASE WHEN c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}'::pg_catalog."char"[])
              AND NOT EXISTS (SELECT FROM busy b WHERE b.relation OPERATOR(pg_catalog.=) c.oid)
        THEN (SELECT COALESCE(pg_catalog.json_agg(h.promise ORDER BY h.place, h.name), '[]')
            FROM (
                SELECT 1 AS place, f.conname AS name, pg_catalog.pg_get_expr(f.conbin, f.conrelid) AS promise
                FROM pg_catalog.pg_constraint f
                WHERE f.conrelid OPERATOR(pg_catalog.=) c.oid AND f.contype OPERATOR(pg_catalog.=) 'c' AND f.convalidated
                UNION ALL
                SELECT 2, '', pg_catalog.pg_get_partition_constraintdef(c.oid)
                WHERE c.relispartition AND NOT EXISTS (SELECT FROM busy)
            ) AS h
            WHERE h.promise IS NOT NULL)
        ELSE '[]' END
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
  AND c.relkind OPERATOR(pg_catalog.<>) 't'
  AND n.nspname OPERATOR(pg_catalog.<>) 'pg_toast'::pg_catalog.name
  AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast_temp_')
  AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)

--- system_functions
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    p.oid::pg_catalog.int8, n.nspname, p.proname, p.prokind, p.provolatile,
    pg_catalog.to_json(p.proargtypes::pg_catalog.oid[]::pg_catalog.int8[]), p.pronargdefaults,
    p.provariadic OPERATOR(pg_catalog.<>) 0::pg_catalog.oid, p.prorettype::pg_catalog.int8
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
WHERE p.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid
  AND n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.name

--- functions
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    p.oid::pg_catalog.int8,
    CASE WHEN n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname END,
    p.proname, p.prokind, p.provolatile,
    pg_catalog.to_json(p.proargtypes::pg_catalog.oid[]::pg_catalog.int8[]), p.pronargdefaults,
    p.provariadic OPERATOR(pg_catalog.<>) 0::pg_catalog.oid, p.prorettype::pg_catalog.int8
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
WHERE p.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
  AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)

--- operators
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    o.oid::pg_catalog.int8,
    CASE WHEN n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname END,
    o.oprname, o.oprleft::pg_catalog.int8, o.oprright::pg_catalog.int8, o.oprresult::pg_catalog.int8
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_operator o
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
  AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)

--- system_types
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    t.oid::pg_catalog.int8, n.nspname, t.typname, t.typtype, t.typbasetype::pg_catalog.int8,
    t.typrelid::pg_catalog.int8,
    CASE WHEN t.typcategory OPERATOR(pg_catalog.=) 'A' THEN t.typelem::pg_catalog.int8 ELSE 0 END,
    CASE WHEN t.typtypmod OPERATOR(pg_catalog.=) -1 THEN ''
        ELSE pg_catalog.format_type(t.typbasetype, t.typtypmod) END
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
WHERE t.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid
  AND n.nspname OPERATOR(pg_catalog.<>) 'pg_toast'::pg_catalog.name

--- types
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    t.oid::pg_catalog.int8,
    CASE WHEN n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname END,
    t.typname, t.typtype, t.typbasetype::pg_catalog.int8, t.typrelid::pg_catalog.int8,
    CASE WHEN t.typcategory OPERATOR(pg_catalog.=) 'A' THEN t.typelem::pg_catalog.int8 ELSE 0 END,
    CASE WHEN t.typtypmod OPERATOR(pg_catalog.=) -1 THEN ''
        ELSE pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
    (SELECT COALESCE(pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]')
        FROM pg_catalog.pg_enum e WHERE e.enumtypid OPERATOR(pg_catalog.=) t.oid),
    (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.pg_get_expr(f.conbin, 0) ORDER BY f.conname), '[]')
        FROM pg_catalog.pg_constraint f
        WHERE f.contypid OPERATOR(pg_catalog.=) t.oid AND f.contype OPERATOR(pg_catalog.=) 'c' AND f.convalidated)
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
WHERE t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
  AND n.nspname OPERATOR(pg_catalog.<>) 'pg_toast'::pg_catalog.name
  AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast_temp_')
  AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)

--- casts
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    k.oid::pg_catalog.int8, k.castsource::pg_catalog.int8, k.casttarget::pg_catalog.int8,
    k.castfunc::pg_catalog.int8, k.castcontext
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_cast k
WHERE k.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid

--- inherits
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    i.inhparent::pg_catalog.int8, i.inhrelid::pg_catalog.int8
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid
WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)

--- partitions
-- What a partitioned table's rows are told apart by: the server makes these columns depend on the table.
SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    p.partrelid::pg_catalog.int8,
    (SELECT COALESCE(pg_catalog.json_agg(u.number ORDER BY u.number), '[]')
        FROM (
            SELECT a.number::pg_catalog.int4
            FROM ROWS FROM (pg_catalog.unnest(p.partattrs::pg_catalog.int2[])) AS a (number)
            WHERE a.number OPERATOR(pg_catalog.<>) 0
            UNION
            SELECT d.objsubid
            FROM pg_catalog.pg_depend d
            WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.objid OPERATOR(pg_catalog.=) p.partrelid AND d.objsubid OPERATOR(pg_catalog.>) 0
              AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.refobjid OPERATOR(pg_catalog.=) p.partrelid AND d.refobjsubid OPERATOR(pg_catalog.=) 0
        ) AS u (number))
)), '[]')::pg_catalog.text
FROM pg_catalog.pg_partitioned_table p
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.partrelid
WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)

--- freshness
WITH spaces AS MATERIALIZED (
    SELECT n.oid, n.xmin, n.ctid
    FROM pg_catalog.pg_namespace n
    WHERE NOT pg_catalog.pg_is_other_temp_schema(n.oid)
      AND NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast')
), relations AS MATERIALIZED (
    SELECT c.oid, c.xmin, c.ctid
    FROM pg_catalog.pg_class c
    JOIN spaces s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
), rows (kind, xmin, ctid) AS (
    SELECT 'n', xmin, ctid FROM spaces
    UNION ALL
    SELECT 'c', xmin, ctid FROM relations
    UNION ALL
    SELECT 'a', a.xmin, a.ctid
    FROM pg_catalog.pg_attribute a
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
    WHERE a.attnum OPERATOR(pg_catalog.>) 0
    UNION ALL
    SELECT 'r', r.xmin, r.ctid
    FROM pg_catalog.pg_rewrite r
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) r.ev_class
    UNION ALL
    SELECT 'g', t.xmin, t.ctid
    FROM pg_catalog.pg_trigger t
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid
    UNION ALL
    SELECT 'd', d.xmin, d.ctid
    FROM pg_catalog.pg_description d
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) d.objoid
    WHERE d.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.objsubid OPERATOR(pg_catalog.>) 0
    UNION ALL
    SELECT 'l', l.xmin, l.ctid
    FROM pg_catalog.pg_seclabel l
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) l.objoid
    WHERE l.classoid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
    UNION ALL
    SELECT 'e', e.xmin, e.ctid
    FROM pg_catalog.pg_attrdef e
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) e.adrelid
    UNION ALL
    SELECT 'u', u.xmin, u.ctid
    FROM pg_catalog.pg_index u
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) u.indrelid
    UNION ALL
    SELECT 'f', f.xmin, f.ctid
    FROM pg_catalog.pg_constraint f
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) f.conrelid
    UNION ALL
    SELECT 'i', i.xmin, i.ctid
    FROM pg_catalog.pg_inherits i
    JOIN relations c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid
    UNION ALL
    SELECT 'p', p.xmin, p.ctid
    FROM pg_catalog.pg_proc p
    JOIN spaces s ON s.oid OPERATOR(pg_catalog.=) p.pronamespace
    WHERE p.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
    UNION ALL
    SELECT 'o', o.xmin, o.ctid
    FROM pg_catalog.pg_operator o
    WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
    UNION ALL
    SELECT 't', t.xmin, t.ctid
    FROM pg_catalog.pg_type t
    JOIN spaces s ON s.oid OPERATOR(pg_catalog.=) t.typnamespace
    WHERE t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
    UNION ALL
    SELECT 'm', m.xmin, m.ctid
    FROM pg_catalog.pg_enum m
    UNION ALL
    SELECT 'h', h.xmin, h.ctid
    FROM pg_catalog.pg_constraint h
    WHERE h.contypid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
    UNION ALL
    SELECT 'k', k.xmin, k.ctid
    FROM pg_catalog.pg_cast k
    WHERE k.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
)
SELECT pg_catalog.concat_ws(':',
    pg_catalog.current_setting('server_version_num'), pg_catalog.current_database(), pg_catalog.count(*),
    pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat(kind, xmin, ctid), 0)))
FROM rows
