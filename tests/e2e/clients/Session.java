// pgjdbc through the gateway, or past it: prints, one line a finding, what it saw. Arguments: the JDBC URL, and what to do.
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Map;
import java.util.TreeMap;
import org.postgresql.PGConnection;

public class Session {
    interface Work {
        Object run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            if (arguments[1].equals("metadata")) {
                metadata(connection.getMetaData());
            } else {
                session(connection);
            }
        }
    }

    static void tell(String name, Work work) {
        try {
            System.out.println(name + " = " + work.run());
        } catch (SQLException error) {
            System.out.println(name + " ! " + error.getSQLState() + " " + error.getMessage().replace("\n", " | "));
        } catch (Exception error) {
            System.out.println(name + " ! " + error);
        }
    }

    static String rows(ResultSet result) throws SQLException {
        ResultSetMetaData columns = result.getMetaData();
        StringBuilder text = new StringBuilder();
        while (result.next()) {
            for (int number = 1; number <= columns.getColumnCount(); number++) {
                text.append(number > 1 ? "," : " [").append(result.getString(number));
            }
            text.append("]");
        }
        return text.toString();
    }

    static void session(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            tell("simple", () -> rows(statement.executeQuery("SELECT count(*) FROM orders")));
            tell("several", () -> {
                statement.execute("SELECT 1; SELECT 2");
                statement.getMoreResults();
                return rows(statement.getResultSet());
            });
        }
        try (PreparedStatement statement = connection.prepareStatement("SELECT id FROM orders WHERE id = ?")) {
            StringBuilder found = new StringBuilder();
            for (int id = 1; id <= 12; id++) { // past the threshold: named on the server, binary results
                statement.setInt(1, id);
                found.append(rows(statement.executeQuery()));
            }
            tell("prepared", () -> found);
        }
        tell("refused", () -> connection.createStatement().executeUpdate("DROP TABLE orders"));
        tell("refusedPrepared", () -> connection.prepareStatement("DELETE FROM orders").executeUpdate());
        tell("after", () -> rows(connection.createStatement().executeQuery("SELECT 5")));
        tell("batch", () -> {
            try (PreparedStatement statement = connection.prepareStatement("UPDATE carts SET state = ? WHERE id = ?")) {
                for (int id = 1; id <= 3; id++) {
                    statement.setString(1, "abandoned");
                    statement.setInt(2, id);
                    statement.addBatch();
                }
                return statement.executeBatch().length;
            }
        });
        connection.setAutoCommit(false);
        try (PreparedStatement statement = connection.prepareStatement("SELECT id FROM orders ORDER BY id")) {
            statement.setFetchSize(64);
            ResultSet result = statement.executeQuery();
            int count = 0;
            while (result.next()) {
                count++;
            }
            int total = count;
            tell("fetched", () -> total);
        }
        Savepoint before = connection.setSavepoint("before");
        tell("inTransaction", () -> connection.createStatement().executeUpdate("TRUNCATE orders"));
        tell("failed", () -> rows(connection.createStatement().executeQuery("SELECT 1")));
        connection.rollback(before);
        tell("recovered", () -> rows(connection.createStatement().executeQuery("SELECT count(*) FROM orders")));
        connection.commit();
        connection.setReadOnly(true);
        tell("isolation", () -> {
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            return rows(connection.createStatement().executeQuery("SHOW transaction_isolation"));
        });
        connection.commit();
        connection.setAutoCommit(true);
        connection.setReadOnly(false);
        tell("copyOut", () -> {
            StringWriter taken = new StringWriter();
            long count = connection.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY products TO STDOUT", taken);
            return count + " " + taken.toString().split("\n").length;
        });
        tell("copyFile", () -> connection.unwrap(PGConnection.class).getCopyAPI()
            .copyIn("COPY carts FROM '/etc/passwd'", new StringReader("")));
        tell("timeout", () -> {
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                return rows(statement.executeQuery("SELECT count(*) FROM orders AS a JOIN orders AS b ON a.id <> b.id "
                    + "JOIN orders AS c ON c.id <> b.id"));
            }
        });
        tell("valid", () -> connection.isValid(5));
        tell("databaseError", () -> rows(connection.createStatement().executeQuery("SELECT 1 / 0")));
    }

    static void metadata(DatabaseMetaData about) {
        Map<String, Work> asked = new TreeMap<>();
        asked.put("getTables", () -> rows(about.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"})));
        asked.put("getTables of all kinds", () -> rows(about.getTables(null, null, "o%", null)));
        asked.put("getColumns", () -> rows(about.getColumns(null, "public", "%", "%")));
        asked.put("getPrimaryKeys", () -> rows(about.getPrimaryKeys(null, "public", "order_items")));
        asked.put("getImportedKeys", () -> rows(about.getImportedKeys(null, "public", "order_items")));
        asked.put("getExportedKeys", () -> rows(about.getExportedKeys(null, "public", "orders")));
        asked.put("getCrossReference", () -> rows(about.getCrossReference(null, "public", "orders", null, "public", "order_items")));
        asked.put("getIndexInfo", () -> rows(about.getIndexInfo(null, "public", "orders", false, false)));
        asked.put("getTypeInfo", () -> rows(about.getTypeInfo()));
        asked.put("getSchemas", () -> rows(about.getSchemas()));
        asked.put("getSchemas of a name", () -> rows(about.getSchemas(null, "pub%")));
        asked.put("getCatalogs", () -> rows(about.getCatalogs()));
        asked.put("getTableTypes", () -> rows(about.getTableTypes()));
        asked.put("getProcedures", () -> rows(about.getProcedures(null, "public", "%")));
        asked.put("getProcedureColumns", () -> rows(about.getProcedureColumns(null, "public", "%", "%")));
        asked.put("getFunctions", () -> rows(about.getFunctions(null, "public", "%")));
        asked.put("getFunctionColumns", () -> rows(about.getFunctionColumns(null, "public", "%", "%")));
        asked.put("getTablePrivileges", () -> rows(about.getTablePrivileges(null, "public", "%")));
        asked.put("getColumnPrivileges", () -> rows(about.getColumnPrivileges(null, "public", "orders", "%")));
        asked.put("getBestRowIdentifier", () -> rows(about.getBestRowIdentifier(null, "public", "orders", 2, true)));
        asked.put("getVersionColumns", () -> rows(about.getVersionColumns(null, "public", "orders")));
        asked.put("getUDTs", () -> rows(about.getUDTs(null, "public", "%", null)));
        asked.put("getClientInfoProperties", () -> rows(about.getClientInfoProperties()));
        asked.put("getSQLKeywords", () -> about.getSQLKeywords().length());
        asked.put("getNumericFunctions", () -> about.getNumericFunctions());
        asked.put("getMaxColumnNameLength", () -> about.getMaxColumnNameLength());
        asked.put("getMaxIndexKeys", () -> about.getMaxColumnsInIndex());
        asked.put("getDefaultTransactionIsolation", () -> about.getDefaultTransactionIsolation());
        asked.put("getDatabaseProductVersion", () -> about.getDatabaseProductVersion());
        asked.put("getUserName", () -> about.getUserName().isEmpty());
        asked.forEach(Session::tell);
    }
}
