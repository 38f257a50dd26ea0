-- What terrain.py asks of PostgreSQL 13 to 18, each one row of one text column. They run under the search path
-- "pg_catalog, pg_temp", so names need no qualification; any role may read these tables, and nothing is written.
-- {oids} stands for the numbers of the relations that a statement names.

--- around
-- A family is a partition tree (its root's number) or one table. From the families of the named tables, and of those
-- that inherit from them, foreign keys lead on to every family a change could be carried to.
WITH RECURSIVE family AS MATERIALIZED (
    SELECT c.oid, CASE WHEN c.relispartition THEN COALESCE(pg_partition_root(c.oid)::oid, c.oid) ELSE c.oid END AS root
    FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
), keys AS MATERIALIZED (
    SELECT k.*, child.root AS child, parent.root AS parent
    FROM pg_constraint k
    JOIN family child ON child.oid = k.conrelid JOIN family parent ON parent.oid = k.confrelid
    WHERE k.contype = 'f' AND k.conparentid = 0
), named(oid) AS (
    SELECT unnest('{oids}'::oid[])
    UNION SELECT i.inhrelid FROM named n JOIN pg_inherits i ON i.inhparent = n.oid
), reached(root) AS (
    SELECT f.root FROM named n JOIN family f ON f.oid = n.oid
    UNION SELECT k.child FROM reached r JOIN keys k ON k.parent = r.root
), wanted AS (
    SELECT root AS oid FROM reached
    UNION SELECT oid FROM named
    UNION SELECT conrelid FROM keys k JOIN reached r ON r.root = k.parent
    UNION SELECT confrelid FROM keys k JOIN reached r ON r.root = k.parent
)
SELECT json_build_object(
  'relations', (SELECT COALESCE(json_agg(json_build_object(
      'oid', c.oid::int8, 'root', f.root::int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
      'temporary', c.relpersistence = 't', 'named', c.oid IN (SELECT oid FROM named),
      'partitioned', c.relkind = 'p' OR c.relispartition,
      'splits', (SELECT COALESCE(json_agg(DISTINCT COALESCE(a.attname, '*')), '[]')
          FROM pg_partitioned_table t JOIN family m ON m.oid = t.partrelid
          CROSS JOIN unnest(t.partattrs::int2[]) u(number)
          LEFT JOIN pg_attribute a ON a.attrelid = t.partrelid AND a.attnum = u.number AND u.number <> 0
          WHERE m.root = f.root),
      'secured', row_security_active(c.oid), 'readable', has_table_privilege(c.oid, 'SELECT'),
      'rules', EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1'),
      'updatable', c.relkind = 'v' AND pg_relation_is_updatable(c.oid, false) & 28 = 28,
      'rows', CASE WHEN c.relkind <> 'p' THEN GREATEST(c.reltuples, 0)::int8 ELSE
          (SELECT COALESCE(sum(GREATEST(p.reltuples, 0)), 0)::int8 FROM family m JOIN pg_class p ON p.oid = m.oid
           WHERE m.root = f.root AND p.relkind = 'r') END,
      'size', CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) WHEN c.relkind <> 'p' THEN 0 ELSE
          (SELECT COALESCE(sum(pg_relation_size(p.oid)), 0)::int8 FROM family m JOIN pg_class p ON p.oid = m.oid
           WHERE m.root = f.root AND p.relkind = 'r') END
    ) ORDER BY c.oid), '[]')
    FROM wanted w JOIN pg_class c ON c.oid = w.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN family f ON f.oid = c.oid),
  'keys', (SELECT COALESCE(json_agg(json_build_object(
      'oid', k.oid::int8, 'name', k.conname, 'child', k.conrelid::int8, 'parent', k.confrelid::int8,
      'columns', (SELECT json_agg(a.attname ORDER BY u.place) FROM unnest(k.conkey) WITH ORDINALITY u(number, place)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
      'referenced', (SELECT json_agg(a.attname ORDER BY u.place) FROM unnest(k.confkey) WITH ORDINALITY u(number, place)
          JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number),
      'operators', (SELECT json_agg(json_build_array(n.nspname, o.oprname) ORDER BY u.place)
          FROM unnest(k.conpfeqop) WITH ORDINALITY u(number, place)
          JOIN pg_operator o ON o.oid = u.number JOIN pg_namespace n ON n.oid = o.oprnamespace),
      'on_delete', k.confdeltype, 'on_update', k.confupdtype,
      'cleared', (SELECT COALESCE(json_agg(a.attname), '[]')
          FROM unnest(ARRAY(SELECT json_array_elements_text(
              COALESCE(NULLIF(to_jsonb(k) -> 'confdelsetcols', 'null'::jsonb), '[]')::json)::int2)) u(number)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
      'enforced', NOT EXISTS (SELECT FROM pg_trigger t
          WHERE t.tgconstraint = k.oid AND t.tgrelid = k.confrelid AND t.tgenabled NOT IN ('O', 'A'))
        AND COALESCE((to_jsonb(k) ->> 'conenforced')::bool, true)
    ) ORDER BY k.oid), '[]')
    FROM keys k WHERE k.parent IN (SELECT root FROM reached)),
  'triggers', (SELECT COALESCE(json_agg(json_build_object(
      'root', f.root::int8, 'table', c.relname, 'schema', n.nspname, 'name', t.tgname, 'type', t.tgtype::int4,
      'conditional', t.tgqual IS NOT NULL,
      'columns', (SELECT COALESCE(json_agg(a.attname), '[]') FROM unnest(t.tgattr::int2[]) u(number)
          JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = u.number)
    ) ORDER BY n.nspname, c.relname, t.tgname), '[]')
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN family f ON f.oid = c.oid
    WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND f.root IN (SELECT root FROM reached)
      AND t.tgparentid = 0)
)::text

--- gone
-- What goes with objects that are dropped: {starts} are (catalogue, object, column) numbers. "asked" are those that the
-- statement does not drop unless it says CASCADE: somebody else's view, or a key that refers to the table.
WITH RECURSIVE start(classid, objid, objsubid) AS (VALUES {starts}),
gone(classid, objid, objsubid, asked) AS (
    SELECT classid, objid, objsubid, false FROM start
    UNION
    SELECT found.classid, found.objid, found.objsubid, g.asked OR found.asked
    FROM gone g CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid, d.deptype = 'n' AS asked FROM pg_depend d
        WHERE d.refclassid = g.classid AND d.refobjid = g.objid
          AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid) AND d.deptype IN ('n', 'a', 'i', 'P', 'S')
          AND NOT (d.classid = g.classid AND d.objid = g.objid)
        UNION ALL
        SELECT d.refclassid, d.refobjid, d.refobjsubid, false FROM pg_depend d
        WHERE d.classid = g.classid AND d.objid = g.objid AND d.deptype = 'i' AND g.asked
    ) AS found
), once AS (
    SELECT classid, objid, objsubid, bool_and(asked) AS asked FROM gone GROUP BY 1, 2, 3
)
SELECT json_build_object(
  'dependents', (SELECT COALESCE(json_agg(DISTINCT pg_describe_object(classid, objid, objsubid)), '[]') FROM once
    WHERE asked AND classid NOT IN ('pg_rewrite'::regclass, 'pg_type'::regclass, 'pg_attrdef'::regclass)
      AND NOT (classid = 'pg_class'::regclass AND objsubid = 0
               AND (SELECT relkind IN ('i', 'I', 't') FROM pg_class c WHERE c.oid = objid))
      AND NOT (classid = 'pg_trigger'::regclass AND (SELECT tgisinternal FROM pg_trigger t WHERE t.oid = objid))),
  'tables', (SELECT COALESCE(json_agg(DISTINCT c.oid::int8), '[]') FROM once o JOIN pg_class c ON c.oid = o.objid
    WHERE o.classid = 'pg_class'::regclass AND o.objsubid = 0 AND c.relkind IN ('r', 'p', 'm'))
)::text
