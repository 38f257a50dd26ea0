-- A small shop with personal data, always the same: what the demo's agent works on. Everything in it is made up: names are
-- common, addresses end in example.test, telephone numbers and identity numbers come from ranges that nobody has.
--
-- shop_agent owns the tables. The database would let it drop them: what keeps it from doing so is the gateway.

SET client_min_messages = warning;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_agent') THEN
    CREATE ROLE shop_agent NOLOGIN;
  END IF;
END $$;

CREATE TABLE customers (
  id          integer PRIMARY KEY,
  name        text NOT NULL,
  email       text NOT NULL UNIQUE,
  phone       text NOT NULL,
  ssn         text NOT NULL,
  birth_date  date NOT NULL,
  city        text NOT NULL,
  tier        text NOT NULL CHECK (tier IN ('basic', 'plus', 'gold')),
  created_at  timestamptz NOT NULL
);
COMMENT ON COLUMN customers.ssn IS 'personal: identity number';

CREATE TABLE products (
  id     integer PRIMARY KEY,
  name   text NOT NULL,
  price  numeric(10, 2) NOT NULL CHECK (price > 0),
  stock  integer NOT NULL CHECK (stock >= 0)
);

CREATE TABLE orders (
  id           integer PRIMARY KEY,
  customer_id  integer NOT NULL REFERENCES customers,
  status       text NOT NULL CHECK (status IN ('open', 'paid', 'shipped', 'cancelled')),
  placed_at    timestamptz NOT NULL
);
CREATE INDEX orders_customer ON orders (customer_id);

CREATE TABLE order_items (
  order_id    integer NOT NULL REFERENCES orders,
  line        integer NOT NULL,
  product_id  integer NOT NULL REFERENCES products,
  quantity    integer NOT NULL CHECK (quantity > 0),
  PRIMARY KEY (order_id, line)
);

CREATE TABLE carts (
  id           integer PRIMARY KEY,
  customer_id  integer NOT NULL REFERENCES customers,
  state        text NOT NULL CHECK (state IN ('active', 'abandoned')),
  updated_at   timestamptz NOT NULL
);

INSERT INTO customers
SELECT i,
       (ARRAY['Ada', 'Ben', 'Carla', 'Deniz', 'Emil', 'Fatima', 'Goran', 'Hana', 'Ivo', 'Jun'])[1 + i % 10] || ' ' ||
       (ARRAY['Adler', 'Brook', 'Castro', 'Dumont', 'Ek', 'Ferrari', 'Grant'])[1 + i % 7],
       'customer' || i || '@example.test',
       '+1-202-555-01' || to_char(i % 100, 'FM00'),
       '9' || to_char(i % 100, 'FM00') || '-00-' || to_char(i, 'FM0000'),
       DATE '1960-01-01' + (i * 83) % 16000,
       (ARRAY['Berlin', 'Lyon', 'Osaka', 'Porto', 'Quito'])[1 + i % 5],
       (ARRAY['basic', 'basic', 'basic', 'plus', 'plus', 'gold'])[1 + i % 6],
       TIMESTAMPTZ '2025-01-01 08:00+00' + i * INTERVAL '7 hours'
FROM generate_series(1, 200) AS i;

INSERT INTO products
SELECT i,
       (ARRAY['Kettle', 'Lamp', 'Chair', 'Desk', 'Rug', 'Clock', 'Vase', 'Shelf'])[1 + i % 8] || ' no. ' || i,
       (i * 37 % 190) + 9.90,
       (i * 13) % 90
FROM generate_series(1, 40) AS i;

INSERT INTO orders
SELECT i,
       1 + (i * 7) % 200,
       (ARRAY['open', 'paid', 'paid', 'shipped', 'shipped', 'shipped', 'cancelled'])[1 + i % 7],
       TIMESTAMPTZ '2026-01-01 09:00+00' + i * INTERVAL '5 hours'
FROM generate_series(1, 1000) AS i;

INSERT INTO order_items
SELECT o, line, 1 + (o * 3 + line * 11) % 40, 1 + (o + line) % 4
FROM generate_series(1, 1000) AS o, generate_series(1, 3) AS line
WHERE line <= 1 + o % 3;

INSERT INTO carts
SELECT i,
       1 + (i * 11) % 200,
       CASE WHEN i % 4 = 0 THEN 'abandoned' ELSE 'active' END,
       TIMESTAMPTZ '2026-09-01 09:00+00' + i * INTERVAL '2 hours'
FROM generate_series(1, 480) AS i;

ALTER TABLE customers OWNER TO shop_agent;
ALTER TABLE products OWNER TO shop_agent;
ALTER TABLE orders OWNER TO shop_agent;
ALTER TABLE order_items OWNER TO shop_agent;
ALTER TABLE carts OWNER TO shop_agent;

ANALYZE;
