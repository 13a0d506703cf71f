##! Reads zeekml's notices as they are appended. Needs Zeek 6.0 or later.

@load base/frameworks/input
@load base/frameworks/reporter
@load ./config
@load ./notices

module ZeekML;

export {
	## The notices as lines of JSON.
	const notice_file = "notices.jsonl" &redef;

	## A line as the reader gives it.
	type RawLine: record {
		s: string;
	};

	## A line was read.
	global read_line: event(description: Input::EventDescription,
	    tpe: Input::Event, s: string);
}

# The beginning of a line, where the reader came while it was being written.
global begun = "";

# Before this, lines are from before the start of Zeek.
global oldest: time;

event read_line(description: Input::EventDescription, tpe: Input::Event,
    s: string)
	{
	local result = from_json(begun + s, Line);

	if ( ! result$valid && begun != "" )
		result = from_json(s, Line);

	if ( ! result$valid )
		{
		if ( begun != "" )
			Reporter::warning("zeekml: a line of the feed is no notice");

		begun = s;
		return;
		}

	begun = "";
	local line = result$v as Line;

	if ( line$ts >= oldest )
		raise_line(line);
	}

event zeek_init()
	{
	if ( ! reads_feed() )
		return;

	local config: table[string] of string = table();

	if ( catch_up > 0secs )
		oldest = current_time() - catch_up;
	else
		{
		oldest = double_to_time(0.0);
		config["offset"] = "-1";
		}

	Input::add_event([$source=cat(feed_dir, "/", notice_file),
	    $name="zeekml-notices", $reader=Input::READER_RAW,
	    $mode=Input::STREAM, $fields=RawLine, $ev=read_line, $want_record=F,
	    $config=config]);
	}
