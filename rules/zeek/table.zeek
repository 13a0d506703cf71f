##! Reads zeekml's latest notices from a table that is replaced. For Zeek before 6.0,
##! which cannot read JSON; it works on later ones, too. Load it instead of `stream`.

@load base/frameworks/input
@load ./config
@load ./notices

module ZeekML;

export {
	## The latest notices as a table.
	const table_file = "notices.tsv" &redef;

	## What tells a row from all others.
	type RowKey: record {
		incident: string;
		seq: count;
	};

	## The rest of a row; the fields are those of `Line`.
	type Row: record {
		state: string;
		ts: time;
		note: string;
		msg: string;
		sub: string &optional;
		uid: string &optional;
		orig_h: addr &optional;
		orig_p: port &optional;
		resp_h: addr &optional;
		resp_p: port &optional;
		proto: string &optional;
		src: addr &optional;
		dst: addr &optional;
		p: port &optional;
		n: count &optional;
		suppress_for: interval &optional;
		threat: string &optional;
		severity: string &optional;
		confidence: count &optional;
		score: double &optional;
		grouped: string &optional;
		community_id: string &optional;
	};

	## A row came, changed or went.
	global read_row: event(description: Input::TableDescription, tpe: Input::Event,
	    key: RowKey, row: Row);
}

global rows: table[string, count] of Row = table();

# Whether the table was read once: what stands in it at the start is from before.
global read_once = F;

# Before this, rows are from before the start of Zeek.
global oldest_row: time;

event read_row(description: Input::TableDescription, tpe: Input::Event,
    key: RowKey, row: Row)
	{
	if ( tpe != Input::EVENT_NEW )
		return;

	if ( ! read_once && ( catch_up == 0secs || row$ts < oldest_row ) )
		return;

	local line = Line($incident=key$incident, $seq=key$seq, $state=row$state,
	    $ts=row$ts, $note=row$note, $msg=row$msg);

	if ( row?$sub )
		line$sub = row$sub;

	if ( row?$uid )
		line$uid = row$uid;

	if ( row?$orig_h )
		line$orig_h = row$orig_h;

	if ( row?$orig_p )
		line$orig_p = row$orig_p;

	if ( row?$resp_h )
		line$resp_h = row$resp_h;

	if ( row?$resp_p )
		line$resp_p = row$resp_p;

	if ( row?$proto )
		line$proto = row$proto;

	if ( row?$src )
		line$src = row$src;

	if ( row?$dst )
		line$dst = row$dst;

	if ( row?$p )
		line$p = row$p;

	if ( row?$n )
		line$n = row$n;

	if ( row?$suppress_for )
		line$suppress_for = row$suppress_for;

	if ( row?$threat )
		line$threat = row$threat;

	if ( row?$severity )
		line$severity = row$severity;

	if ( row?$confidence )
		line$confidence = row$confidence;

	if ( row?$score )
		line$score = row$score;

	if ( row?$grouped )
		line$grouped = row$grouped;

	if ( row?$community_id )
		line$community_id = row$community_id;

	raise_line(line);
	}

event Input::end_of_data(name: string, source: string)
	{
	if ( name == "zeekml-notices" )
		read_once = T;
	}

event zeek_init()
	{
	if ( ! reads_feed() )
		return;

	oldest_row = current_time() - catch_up;
	Input::add_table([$source=cat(feed_dir, "/", table_file),
	    $name="zeekml-notices", $reader=Input::READER_ASCII,
	    $mode=Input::REREAD, $idx=RowKey, $val=Row, $destination=rows,
	    $ev=read_row]);
	}
