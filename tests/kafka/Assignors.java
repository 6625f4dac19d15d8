import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.*;

/**
 * The Java client's assignors on groups from standard input. A group is a line `topic name count`
 * for each topic, `member id instance hex` for each member (instance `-`: none), and `assign`.
 * For each member it prints id, the subscription's bytes as Java writes them, and what range and
 * cooperative-sticky give it.
 */
public class Assignors {
    public static void main(String[] arguments) {
        Node node = new Node(0, "host", 1);
        List<PartitionInfo> partitions = new ArrayList<>();
        Map<String, Subscription> members = new LinkedHashMap<>();
        Map<String, String> written = new HashMap<>();
        Scanner lines = new Scanner(System.in);
        StringBuilder out = new StringBuilder();
        while (lines.hasNextLine()) {
            String[] words = lines.nextLine().split(" ");
            if (words[0].equals("topic")) {
                for (int i = 0; i < Integer.parseInt(words[2]); i++) {
                    Node[] replicas = {node};
                    partitions.add(new PartitionInfo(words[1], i, node, replicas, replicas));
                }
            } else if (words[0].equals("member")) {
                ByteBuffer bytes = ByteBuffer.wrap(HexFormat.of().parseHex(words[3]));
                Subscription subscription = ConsumerProtocol.deserializeSubscription(bytes);
                // Before the assignors read on in its user data.
                ByteBuffer again = ConsumerProtocol.serializeSubscription(subscription);
                written.put(words[1], HexFormat.of().formatHex(again.array(), 0, again.limit()));
                if (!words[2].equals("-")) {
                    subscription.setGroupInstanceId(Optional.of(words[2]));
                }
                members.put(words[1], subscription);
            } else {
                Cluster cluster = new Cluster("c", List.of(node), partitions, Set.of(), Set.of());
                var range = assigned(new RangeAssignor(), cluster, members);
                var sticky = assigned(new CooperativeStickyAssignor(), cluster, members);
                for (String id : members.keySet()) {
                    String[] told = {id, written.get(id), range.get(id), sticky.get(id)};
                    out.append(String.join(" ", told)).append("\n");
                }
                partitions.clear();
                members.clear();
            }
        }
        System.out.print(out);
    }

    private static Map<String, String> assigned(
            ConsumerPartitionAssignor assignor, Cluster cluster, Map<String, Subscription> members) {
        Map<String, String> shown = new HashMap<>();
        assignor.assign(cluster, new GroupSubscription(members)).groupAssignment().forEach(
            (id, assignment) -> shown.put(id, assignment.partitions().stream()
                .map(TopicPartition::toString).sorted().collect(Collectors.joining(",", "[", "]"))));
        return shown;
    }
}
