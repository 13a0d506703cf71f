##! What a line of zeekml's feed is, and how it becomes a notice.

@load base/frameworks/cluster
@load base/frameworks/notice

module ZeekML;

export {
	redef enum Notice::Type += {
		## Hosts are kept busy until they cannot serve.
		Denial_Of_Service,
		## A host looks for other hosts or for what they offer.
		Scan,
		## A host tries one login after the other.
		Brute_Force,
		## A host keeps in touch with a command server.
		Command_And_Control,
		## A host sends data out.
		Exfiltration,
		## A web server is attacked, or used by an attacker.
		Web_Attack,
		## A host reaches out to others as spreading malware does.
		Malware_Spread,
		## The models see other traffic than they were made for.
		Model_Drift,
		## The watch tells how it is.
		Sensor_Health,
		## Something is wrong with the sensor, its logs or the watch.
		Sensor_Problem,
		## A note that this version of the script does not know; it stands in $sub.
		Other,
	};

	## A line of the feed. `incident` and `seq` together are its key.
	type Line: record {
		incident: string;
		seq: count;
		## open, update or closed.
		state: string;
		ts: time;
		note: string;
		msg: string;
		sub: string &optional;
		## The flow that triggered the line.
		uid: string &optional;
		orig_h: addr &optional;
		orig_p: port &optional;
		resp_h: addr &optional;
		resp_p: port &optional;
		proto: string &optional;
		## What all flows of the incident have in common; unset where they differ.
		src: addr &optional;
		dst: addr &optional;
		p: port &optional;
		## Flows of the incident so far.
		n: count &optional;
		suppress_for: interval &optional;
		threat: string &optional;
		## low, medium, high or critical.
		severity: string &optional;
		## How likely it is an attack, in percent.
		confidence: count &optional;
		score: double &optional;
		## The same for one attack that several sensors saw.
		grouped: string &optional;
		community_id: string &optional;
	};

	redef record Notice::Info += {
		## The line that the notice was made from, for Notice::policy hooks. Not logged.
		zeekml: Line &optional;
	};

	## Raise incidents again when they go on, at most once in each suppress_for.
	option raise_updates = F;

	## Raise incidents again when they are over, with the totals.
	option raise_closed = F;

	## Raise what zeekml says about the health of the sensor and of itself.
	option raise_health = T;

	## Lines that were written while Zeek did not run are raised if they are not older
	## than this when it starts. By default only what is written from then on is raised.
	const catch_up = 0secs &redef;

	## Zeek's name for each note.
	const note_types: table[string] of Notice::Type = {
		["ZeekML::Denial_Of_Service"] = Denial_Of_Service,
		["ZeekML::Scan"] = Scan,
		["ZeekML::Brute_Force"] = Brute_Force,
		["ZeekML::Command_And_Control"] = Command_And_Control,
		["ZeekML::Exfiltration"] = Exfiltration,
		["ZeekML::Web_Attack"] = Web_Attack,
		["ZeekML::Malware_Spread"] = Malware_Spread,
		["ZeekML::Model_Drift"] = Model_Drift,
		["ZeekML::Sensor_Health"] = Sensor_Health,
		["ZeekML::Sensor_Problem"] = Sensor_Problem,
	};

	## Notes that are about health and not about flows.
	const health_notes: set[string] = {
		"ZeekML::Model_Drift",
		"ZeekML::Sensor_Health",
		"ZeekML::Sensor_Problem",
	};

	## Raise a line, if the options want it.
	global raise_line: function(line: Line);

	## Whether this process reads the feed: the manager of a cluster, or a Zeek that is
	## alone, and neither while it reads a trace.
	global reads_feed: function(): bool;
}

function reads_feed(): bool
	{
	if ( reading_traces() )
		return F;

	return ! Cluster::is_enabled()
	    || Cluster::local_node_type() == Cluster::MANAGER;
	}

function wanted(line: Line): bool
	{
	if ( line$note in health_notes )
		return raise_health;

	if ( line$state == "update" )
		return raise_updates;

	if ( line$state == "closed" )
		return raise_closed;

	return T;
	}

function raise_line(line: Line)
	{
	if ( ! wanted(line) )
		return;

	# Zeek passes over a line that it has raised before; an update is another line.
	local info = Notice::Info($note=Other, $msg=line$msg, $ts=line$ts,
	    $identifier=cat(line$incident, "/", line$seq), $zeekml=line);

	if ( line?$sub )
		info$sub = line$sub;

	if ( line$note in note_types )
		info$note = note_types[line$note];
	else
		info$sub = line?$sub ? cat(line$note, ": ", line$sub) : line$note;

	if ( line?$n )
		info$n = line$n;

	if ( line?$suppress_for )
		info$suppress_for = line$suppress_for;

	if ( line?$uid )
		info$uid = line$uid;

	if ( line?$orig_h && line?$resp_h )
		info$id = conn_id($orig_h=line$orig_h,
		    $orig_p=line?$orig_p ? line$orig_p : 0/unknown,
		    $resp_h=line$resp_h,
		    $resp_p=line?$resp_p ? line$resp_p : 0/unknown);

	if ( line?$src )
		info$src = line$src;

	if ( line?$dst )
		info$dst = line$dst;

	if ( line?$p )
		info$p = line$p;

	NOTICE(info);
	}

# Zeek fills $src, $dst and $p from the flow. Where the flows of an incident differ in
# them, such as the forged sources of a flood, the flow's are not the incident's: nobody
# shall act on them.
hook Notice::policy(n: Notice::Info) &priority=9
	{
	if ( ! n?$zeekml )
		return;

	if ( ! n$zeekml?$src )
		delete n$src;

	if ( ! n$zeekml?$dst )
		delete n$dst;

	if ( ! n$zeekml?$p )
		delete n$p;
	}
