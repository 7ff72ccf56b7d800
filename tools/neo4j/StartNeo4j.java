import java.nio.file.Files;
import java.nio.file.Path;
import org.neo4j.cli.ExecutionContext;
import org.neo4j.commandline.admin.security.SetInitialPasswordCommand;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;
import picocli.CommandLine;

/**
 * A Neo4j for tests: java StartNeo4j.java HOME PORT PAGE_CACHE, on loopback, until standard input ends.
 * NEO4J_PASSWORD is the first password of the user neo4j in a new HOME; without it, authentication is off.
 */
class StartNeo4j {
    public static void main(String[] args) throws Exception {
        var home = Path.of(args[0]).toAbsolutePath();
        var address = "127.0.0.1:" + Integer.parseInt(args[1]);
        var password = System.getenv("NEO4J_PASSWORD");
        var settings = home.resolve("conf/neo4j.conf");
        Files.createDirectories(settings.getParent());
        Files.writeString(settings, """
                server.bolt.enabled=true
                server.bolt.listen_address=%1$s
                server.bolt.advertised_address=%1$s
                server.memory.pagecache.size=%3$s
                dbms.security.auth_enabled=%2$s
                dbms.usage_report.enabled=false
                """.formatted(address, password != null, args[2]));
        if (password != null) {
            var setPassword = new SetInitialPasswordCommand(new ExecutionContext(home, settings.getParent()));
            if (new CommandLine(setPassword).execute(password) != 0) System.exit(1);
        }
        new DatabaseManagementServiceBuilder(home).loadPropertiesFromFile(settings).build();
        // Whoever started this holds the other end of the pipe, so a killed test run leaves no server behind.
        while (System.in.read() != -1) {}
        Runtime.getRuntime().halt(0);
    }
}
